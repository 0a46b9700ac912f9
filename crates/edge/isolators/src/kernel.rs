//! Numbers of the kernel's interface that stand in `ContainerLaunchInfo`.
#![allow(dead_code, reason = "each isolator takes its own of them")]

pub const CLONE_NEWNS: i32 = 0x0002_0000;
pub const CLONE_NEWCGROUP: i32 = 0x0200_0000;
pub const CLONE_NEWIPC: i32 = 0x0800_0000;
pub const CLONE_NEWPID: i32 = 0x2000_0000;

pub const MS_RDONLY: u32 = 1;
pub const MS_NOSUID: u32 = 1 << 1;
pub const MS_NODEV: u32 = 1 << 2;
pub const MS_NOEXEC: u32 = 1 << 3;
pub const MS_REMOUNT: u32 = 1 << 5;
pub const MS_BIND: u32 = 1 << 12;
pub const MS_REC: u32 = 1 << 14;
pub const MS_SLAVE: u32 = 1 << 19;
pub const MS_SHARED: u32 = 1 << 20;
pub const MS_STRICTATIME: u32 = 1 << 24;
