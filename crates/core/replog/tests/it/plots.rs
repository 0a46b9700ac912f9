//! What has to happen, in this order, for it to matter what a replica said before it lost its disk. Chance alone comes to it
//! too seldom; here it decides the times and who is who.

use crate::world::World;

/// Of five, a writer's value is accepted by itself, by one whose answer is late, and by one that hears of it late. The one
/// with the late answer forgets what it accepted and comes back, and with the two that never heard of the value it is a
/// quorum that elects another writer. The late answer then arrives. If it had not waited (`SETTLE`) before it voted again,
/// also when it is started anew meanwhile, both writers would have a quorum for the same position.
pub fn an_answer_outlives_its_disk(world: &mut World) {
    let Some(cast) = world.cast() else { return world.next_fault(200, 1000) };
    let [writer, forgets, hears_late, ..] = cast[..] else { panic!("five replicas") };
    let ignorant = cast[3..].to_vec();
    cast[1..].iter().for_each(|node| world.hush(*node, true));
    world.network().slow.extend([(forgets, writer), (writer, hears_late)]);
    world.network().split(&[writer], &ignorant);
    world.then(200, 800, move |world| {
        world.network().heal();
        world.network().split(&[writer], &ignorant);
        world.network().split(&[writer], &[forgets]);
        world.lose_disk(forgets);
        world.then(1_500, 4_000, move |world| {
            world.network().heal();
            world.crash_perhaps(forgets);
            world.network().split(&[writer, hears_late], &[&ignorant[..], &[forgets]].concat());
            ignorant.iter().for_each(|node| world.hush(*node, false));
            world.elect(ignorant[0]);
            world.then(7_000, 9_000, |world| world.next_fault(15_000, 20_000));
        });
    });
}

/// Of three, one is elected by another's promise, unseen by the writer of before, which stays idle. The one that promised
/// loses its disk and comes back. If it did not take over what the others have promised, it would accept from the older
/// writer, and then, as nobody told it that this was chosen, from the newer one.
pub fn a_promise_outlives_its_disk(world: &mut World) {
    let Some(cast) = world.cast() else { return world.next_fault(200, 1000) };
    let [older, newer, promises] = cast[..] else { panic!("three replicas") };
    cast.iter().for_each(|node| world.hush(*node, true));
    world.network().split(&[older], &[newer]);
    world.elect(newer);
    world.then(1_000, 4_000, move |world| {
        world.network().heal();
        world.lose_disk(promises);
        world.then(2_000, 10_000, move |world| {
            world.crash_perhaps(promises);
            world.then(17_000, 20_000, move |world| {
                world.network().split(&[older], &[newer]);
                world.network().untaught = true;
                world.hush(older, false);
                world.then(500, 2_000, move |world| {
                    world.hush(older, true);
                    world.hush(newer, false);
                    world.then(500, 2_000, |world| world.next_fault(2_000, 5_000));
                });
            });
        });
    });
}
