"""React-2-EO: the years of a place on any phone, what people feel about them, and the services behind it."""
