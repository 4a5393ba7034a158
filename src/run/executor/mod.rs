//! Execution of jobs: worker processes, the protocol they speak, and the resources of the machine.

pub mod compute_pool;
mod disk_space;
pub mod job;
pub mod local;
pub mod machine;
pub mod os_limits;
pub mod protocol;
pub mod resources;
pub mod thread_pool;
pub mod worker;
