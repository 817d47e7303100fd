//! The damage campaign itself: a campaign that cannot fail shows nothing. Catches a forger that no longer knows the format
//! (everything would be refused by a checksum), a bench that does not put back what it has damaged, a finding that is
//! not told, a child whose death ends the run.

use std::process::Command;

use tests::damage::{Bench, Damage, Edit, Family, Forge, NAMES, Plan, Source, source};
use tests::support::zoo::Fate;

/// What is whole has the checksums that the forger would give it, and records or frames in it are found.
#[test]
fn the_forger_knows_the_format() {
    for name in NAMES {
        let source = source(name);
        let mut bytes = source.bytes.clone();
        let mut forge = Forge::new(&mut bytes);
        (source.forger)(&mut forge);
        assert_eq!(forge.touched, [], "{name}");
        let expected = if name.contains("closed") && !name.contains("log") { 0 } else { 1 };
        assert!(forge.found.len() >= expected, "{name}: {} records", forge.found.len());
    }
}

/// The same lie in a header is refused for its checksum, and with a right one for what it says.
#[test]
fn forged_damage_gets_past_the_checksums() {
    let source = source(NAMES[0]);
    let mut bench = Bench::new(&source);
    // The largest length, in both headers.
    let edits = [0, 0x1000].map(|header| Edit { at: header + 72, bytes: vec![0xFF] });
    for (forged, expected) in [(false, "checksum"), (true, "max_size")] {
        let outcome = bench.treat(&Damage { edits: edits.clone().into(), forged, ..Damage::default() });
        let Ok(Fate::Refused(error)) = outcome.fate else { panic!("{outcome:?}") };
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// A small share of every family, and each time what is not damaged lives as before.
#[test]
fn a_bench_leaves_nothing_behind() {
    for name in NAMES {
        let source = source(name);
        let plan = Plan::new(&source, source.later.clone(), 3, 4001, 8);
        let mut bench = Bench::new(&source);
        let whole = |bench: &mut Bench<'_>| match bench.treat(&Damage::default()).fate {
            Ok(Fate::Lives(found)) => found,
            other => panic!("{name}: {other:?}"),
        };
        let expected = whole(&mut bench);
        for family in Family::ALL {
            for number in 0..plan.count(family).min(12) {
                let damage = plan.damage(family, number);
                let outcome = bench.treat(&damage);
                assert!(outcome.fate.is_ok(), "{name}: {damage}: {outcome:?}");
            }
            assert_eq!(whole(&mut bench), expected, "{name}: after {family:?}");
        }
    }
}

#[test]
fn a_panic_is_a_finding() {
    let made = source(NAMES[8]);
    let broken = Source { use_it: Box::new(|_, _| panic!("planted")), ..made };
    let outcome = Bench::new(&broken).treat(&Damage::default());
    assert_eq!(outcome.fate.map(drop), Err("panic: planted".to_owned()));
}

/// The child aborts at one damage; the run tells it, fails, and has done all the others.
#[test]
fn an_abort_is_a_finding_and_the_run_goes_on() {
    let run = |planted: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_damage"));
        command.args(["--source", "8", "--count", "100", "--every", "3001"]).env_remove("POBJ_EVIDENCE");
        planted.map(|planted| command.env("POBJ_DAMAGE_PLANTED", planted));
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (success, whole) = run(None);
    assert!(success && whole.contains(" 0 violations"), "{whole}");
    let (success, text) = run(Some("Random:3"));
    assert!(!success && text.contains("Random:3: signal 6") && text.contains(" 1 violations"), "{text}");
    let counted = |text: &str| text.split(" refused").next().unwrap().split(": ").last().unwrap().to_owned();
    let before_refused = |text: &str| counted(text).rsplit_once(", ").unwrap().0.to_owned();
    assert_eq!(before_refused(&text), before_refused(&whole), "as many damages as without it");
}
