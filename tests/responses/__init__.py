"""What a response carries: cookies, headers, errors and who renders them."""
