-- The orders live on one side just before a seq, from raw records alone: what `fairbook alerts show` prints.
-- leaves: the last stated quantity less the fills since; stamp: the last record that gave the order its place
-- (a replace keeps it iff the price is unchanged and the quantity does not grow). Icebergs' refreshed tranches
-- are not recomputed here: display_qty is the order's own.
create macro queue_before(which_instrument, which_side, before_seq) as table
with fills as (
  select buy_order_id as order_id, seq, qty from trades
  where instrument = which_instrument and exec_type = 'trade' and seq < before_seq and buy_order_id is not null
  union all
  select sell_order_id, seq, qty from trades
  where instrument = which_instrument and exec_type = 'trade' and seq < before_seq and sell_order_id is not null
),
records as (
  select * from orders
  where instrument = which_instrument and seq < before_seq and order_id is not null
),
terms as (
  select order_id, seq, exec_type, account, role, price, display_qty, ord_type, side, time_in_force,
    coalesce(leaves_qty, order_qty) as stated,
    lag(seq) over o as last_seq, lag(price) over o as last_price,
    lag(coalesce(leaves_qty, order_qty)) over o as last_stated
  from records where exec_type in ('new', 'replaced', 'restated', 'triggered')
  window o as (partition by order_id order by seq)
),
placed as (
  select terms.*, exec_type <> 'replaced' or price is distinct from last_price
    or stated > last_stated - coalesce((select sum(qty) from fills
      where fills.order_id = terms.order_id and fills.seq > terms.last_seq and fills.seq < terms.seq), 0) as stamps
  from terms
),
latest as (
  select order_id, max(seq) as terms_seq, max(seq) filter (stamps) as stamp,
    arg_max(account, seq) as account, arg_max(role, seq) filter (exec_type in ('new', 'restated')) as role,
    arg_max(price, seq) as price, arg_max(display_qty, seq) as display_qty, arg_max(stated, seq) as stated,
    arg_max(ord_type, seq) as ord_type, arg_max(side, seq) filter (side is not null) as side
  from placed group by order_id
),
ended as (
  select order_id, max(seq) as seq from records where exec_type in ('canceled', 'expired', 'rejected') group by order_id
)
select latest.order_id, latest.account, latest.role, latest.ord_type, latest.price, latest.stamp,
  latest.stated - coalesce((select sum(qty) from fills
    where fills.order_id = latest.order_id and fills.seq > latest.terms_seq), 0) as leaves,
  latest.display_qty
from latest left join ended using (order_id)
where latest.side = which_side and (ended.seq is null or ended.seq < latest.terms_seq)
  and latest.stated - coalesce((select sum(qty) from fills
    where fills.order_id = latest.order_id and fills.seq > latest.terms_seq), 0) > 0
order by latest.price * if(which_side = 'buy', -1, 1), latest.stamp;
