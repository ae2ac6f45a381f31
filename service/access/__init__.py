"""Who may do what, and how much of it: named keys, where they come from, and their rates."""
