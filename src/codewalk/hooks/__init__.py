"""What is run or called when something happens to a server."""
