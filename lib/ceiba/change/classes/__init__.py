"""Change of class: two dates together, annual series, areas from one class to another."""
