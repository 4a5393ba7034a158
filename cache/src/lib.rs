//! Content-addressed storage of stage results, safe for many processes at once.
