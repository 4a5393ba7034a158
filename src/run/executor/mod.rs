//! Execution of jobs: worker processes, the protocol they speak, and the resources of the machine.

pub mod access_rules;
pub mod cluster;
pub(crate) mod compute_pool;
mod disk_space;
pub mod job;
pub(crate) mod kernel_folder;
pub(crate) mod local;
pub(crate) mod machine;
pub(crate) mod os_limits;
pub mod protocol;
pub mod resources;
pub(crate) mod thread_pool;
pub(crate) mod worker;

pub(crate) use local::landlock::missing as landlock_missing;
