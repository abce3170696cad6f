"""Recordings of bats and of human sounds: from files of any recorder to a table by site and night."""
