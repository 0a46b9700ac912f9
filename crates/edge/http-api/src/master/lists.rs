//! Tasks in documents. There are hundreds of thousands of them, which is what a large document costs: those that are over
//! are written from whole blocks, and of many that live threads write parts at the same time.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use messor_master_core::{FrameworkView, View};
use messor_proto::mesos::Task;
use messor_stdx::{Block, Blocks, Memo, Part};

use crate::document::Array;
use crate::together::processors;

/// How tasks are written in one version of the API.
#[derive(Clone, Copy)]
pub struct Form {
    /// Of `Memo`s.
    pub slot: usize,
    pub write: fn(&Task) -> Vec<u8>,
}

/// So many are written by a thread before they are passed on.
const PART: usize = 4 * 1024;
/// More threads than these would only wait for memory.
const MOST_THREADS: usize = 4;

/// Fewer unwritten blocks than these are not worth a thread.
const FEW_BLOCKS: usize = 32;

/// A panic in it ends the document, not the program (`messor_log::POOLED`).
fn thread() -> std::thread::Builder {
    std::thread::Builder::new().name("tokio-document".to_string())
}

fn threads() -> usize {
    processors().min(MOST_THREADS)
}

/// What a task takes in a document, more or less: room that is not needed is never touched.
const TASK_BYTES: usize = 640;
const AGENT_BYTES: usize = 2048;

/// Room for a document with all tasks and agents, so that it is not moved while it grows.
pub fn room(view: &View) -> usize {
    let count = |f: &FrameworkView| f.tasks.len() + f.unreachable_tasks.len() + f.completed_tasks.len();
    let tasks: usize = view.frameworks.iter().chain(&view.completed_frameworks).map(count).sum();
    64 * 1024 + tasks * TASK_BYTES + view.agents.len() * AGENT_BYTES
}

pub fn task(array: &mut Array<'_>, task: &Memo<Task>, form: Form) {
    array.raw(task.rendering(form.slot, form.write));
}

/// Those that live, or are unreachable.
pub fn living(array: &mut Array<'_>, tasks: &[Arc<Memo<Task>>], form: Form) {
    if tasks.len() < 2 * PART {
        return tasks.iter().for_each(|one| task(array, one, form));
    }
    in_parts(tasks, |part| joined(part, form, true), |written| array.raw_shared(written));
}

/// Parts of very many, written by several threads at the same time and taken in order.
pub fn in_parts(
    tasks: &[Arc<Memo<Task>>],
    write: impl Fn(&[Arc<Memo<Task>>]) -> Vec<u8> + Sync,
    mut take: impl FnMut(Bytes),
) {
    if tasks.len() < 2 * PART {
        return take(write(tasks).into());
    }
    let threads = threads();
    let parts: Vec<&[Arc<Memo<Task>>]> = tasks.chunks(PART).collect();
    std::thread::scope(|scope| {
        // The first has the first part and every so-manieth behind it, and so on; each is at most one ahead of what is taken.
        let begin = |number: usize| {
            let (give, take) = sync_channel(1);
            let (own, write) = (parts.iter().skip(number).step_by(threads), &write);
            let work = move || {
                for part in own {
                    if give.send(write(part)).is_err() {
                        return;
                    }
                }
            };
            drop(thread().spawn_scoped(scope, work));
            take
        };
        let written: Vec<_> = (0..threads).map(begin).collect();
        for (number, part) in parts.iter().enumerate() {
            // Where the system gave no thread it is written here. (Where one panicked, that goes on at the end of the scope.)
            take(written[number % threads].recv().unwrap_or_else(|_| write(part)).into());
        }
    });
}

/// Those that are over.
pub fn over(array: &mut Array<'_>, tasks: &Blocks<Memo<Task>>, form: Form) {
    let write = |all: &[Arc<Memo<Task>>]| joined(all, form, false);
    each_part(tasks, form.slot, write, |part| match part {
        Part::Full(block) => array.raw_shared(rendering(block, form.slot, write)),
        Part::Some(some) => some.iter().for_each(|one| task(array, one, form)),
    });
}

/// The parts in order, while several threads write the blocks that nobody has written before.
pub fn each_part(
    tasks: &Blocks<Memo<Task>>,
    slot: usize,
    write: impl Fn(&[Arc<Memo<Task>>]) -> Vec<u8> + Sync,
    take: impl FnMut(Part<'_, Memo<Task>>),
) {
    let is_unwritten = |part| match part {
        Part::Full(block) if block.rendered(slot).is_none() => Some(block),
        _ => None,
    };
    let unwritten: Vec<&Arc<Block<Memo<Task>>>> = tasks.parts().filter_map(is_unwritten).collect();
    let threads = if unwritten.len() < FEW_BLOCKS { 0 } else { threads() };
    std::thread::scope(|scope| {
        for number in 0..threads {
            let (own, write) = (unwritten.iter().skip(number).step_by(threads), &write);
            let work = move || {
                for block in own {
                    block.rendering(slot, |all| write(all));
                }
            };
            // Where the system gives no thread they are written as they are taken.
            drop(thread().spawn_scoped(scope, work));
        }
        tasks.parts().for_each(take);
    });
}

/// What is written of a block once, without a copy.
pub fn rendering(
    block: &Arc<Block<Memo<Task>>>,
    slot: usize,
    write: impl FnOnce(&[Arc<Memo<Task>>]) -> Vec<u8>,
) -> Bytes {
    block.rendering(slot, |all| write(all));
    Bytes::from_owner(Rendered { block: Arc::clone(block), slot })
}

/// For who still sends it when the block is forgotten.
struct Rendered {
    block: Arc<Block<Memo<Task>>>,
    slot: usize,
}

impl AsRef<[u8]> for Rendered {
    fn as_ref(&self) -> &[u8] {
        self.block.rendered(self.slot).unwrap_or_default()
    }
}

/// With commas between them. `is_kept`: each by itself, too.
fn joined(tasks: &[Arc<Memo<Task>>], form: Form, is_kept: bool) -> Vec<u8> {
    let mut all = Vec::with_capacity(tasks.len() * TASK_BYTES);
    for (number, one) in tasks.iter().enumerate() {
        if number > 0 {
            all.push(b',');
        }
        match one.rendered(form.slot) {
            Some(written) => all.extend_from_slice(written),
            None if is_kept => all.extend_from_slice(one.rendering(form.slot, form.write)),
            None => all.extend((form.write)(one)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    fn form() -> Form {
        Form { slot: 0, write: |task| format!("\"{}\"", task.name).into_bytes() }
    }

    fn named(number: usize) -> Arc<Memo<Task>> {
        Arc::new(Memo::new(Task { name: number.to_string(), ..Default::default() }))
    }

    fn expected(count: usize) -> String {
        let names: Vec<String> = (0..count).map(|number| format!("\"{number}\"")).collect();
        format!("[{}]", names.join(","))
    }

    fn written(fill: impl FnOnce(&mut Array<'_>)) -> String {
        String::from_utf8(document::array(fill)).unwrap()
    }

    #[test]
    fn all_are_there_in_order_however_many() {
        for count in [0, 1, 2, PART, 2 * PART + 1, 7 * PART + 5] {
            let tasks: Vec<_> = (0..count).map(named).collect();
            for _ in 0..2 {
                assert!(written(|array| living(array, &tasks, form())) == expected(count), "{count}");
            }
        }
    }

    #[test]
    fn what_is_over_is_written_once_a_block() {
        for count in [0, 1, 127, 128, 129, 1000] {
            let tasks: Blocks<Memo<Task>> = (0..count).map(named).collect();
            for _ in 0..2 {
                assert_eq!(written(|array| over(array, &tasks, form())), expected(count));
            }
            let kept = tasks.iter().filter(|task| task.rendered(0).is_some()).count();
            assert_eq!(kept, count % 128, "only those of no full block have a rendering of their own");
        }
    }
}
