"""Published tasks, their versions and aliases; uploads, loads and changes of them."""
