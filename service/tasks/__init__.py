"""What is published: tasks, versions and aliases, and how requests, uploads and loads reach them."""
