"""The same model behind other servers, each as its own documentation has it. Run by the Python that has the server."""
