"""The process: its configuration, its start and end, and several processes behind one port."""
