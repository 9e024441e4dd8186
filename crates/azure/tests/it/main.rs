//! The types against Azure's published examples and recorded answers, read in place.
