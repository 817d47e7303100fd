//! Builds the C half of the comparison with libpmemobj, if that is asked for and the library is there.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_libpmemobj)");
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "libpmemobj")]
    libpmemobj::build();
}

#[cfg(feature = "libpmemobj")]
mod libpmemobj {
    use std::process::Stdio;

    const SOURCE: &str = "c/pmemobj_peer.c";
    const HEADER: &str = "libpmemobj.h";

    /// Sets `has_libpmemobj` where the library is there. Where it is not, a warning has to do: with `--all-features`
    /// everything must build on every machine.
    pub(super) fn build() {
        println!("cargo::rerun-if-changed={SOURCE}");
        if !has_header() {
            println!("cargo::warning=there is no {HEADER} (Debian: apt-get install libpmemobj-dev);");
            println!("cargo::warning=`compare` will not measure libpmemobj");
            // A file that is not there makes cargo come back and look again.
            println!("cargo::rerun-if-changed={HEADER}");
            return;
        }
        cc::Build::new().file(SOURCE).std("gnu11").compile("pmemobj_peer");
        for library in ["pmemobj", "pmem", "dl"] {
            println!("cargo::rustc-link-lib={library}");
        }
        println!("cargo::rustc-cfg=has_libpmemobj");
    }

    fn has_header() -> bool {
        let mut preprocess = cc::Build::new().get_compiler().to_command();
        preprocess.args(["-E", "-x", "c", "-include", HEADER, "/dev/null"]);
        preprocess.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}
