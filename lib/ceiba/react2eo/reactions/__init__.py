"""What people feel about what they see: kept so that nobody can be followed, published so that nobody can be made out."""
