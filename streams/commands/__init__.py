"""The commands of `fairbook`, by what a person does: operate, publish, ask."""
