"""The pages and redirects for a browser that navigates."""
