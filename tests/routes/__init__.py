"""The routes of the extension, and apps that have their own at these paths."""
