"""Where records come from: recordings, public captures, the simulator."""
