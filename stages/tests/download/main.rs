//! Files from elsewhere: fetched from servers that misbehave, unpacked from archives that are not to be trusted, and
//! both as a pipeline sees them.

mod fetching;
mod kind;
mod loopback;
mod unpacking;
