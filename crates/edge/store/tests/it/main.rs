mod crash;
mod damage;
mod disk;
mod faults;
mod life;
mod others;
