//! Files from elsewhere: fetched from servers that misbehave, and unpacked from archives that are not to be trusted.

mod fetching;
mod loopback;
mod unpacking;
