//! Files from elsewhere: fetched from servers that misbehave, and unpacked from archives that are not to be trusted.

mod batch;
mod fetching;
mod fixture;
mod loopback;
mod network;
mod resuming;
mod unpacking;
