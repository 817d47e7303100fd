//! Builds the C halves of the comparisons with libpmemobj and pmemkv, if they are asked for and the libraries are there.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_libpmemobj)");
    println!("cargo::rustc-check-cfg=cfg(has_pmemkv)");
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "libpmemobj")]
    c_half::LIBPMEMOBJ.build();
    #[cfg(feature = "pmemkv")]
    c_half::PMEMKV.build();
}

#[cfg(any(feature = "libpmemobj", feature = "pmemkv"))]
mod c_half {
    use std::process::Stdio;

    /// A library to compare with, and the C that calls it.
    pub(super) struct Peer {
        name: &'static str,
        /// Set where the library is there.
        cfg: &'static str,
        source: &'static str,
        header: &'static str,
        package: &'static str,
        libraries: &'static [&'static str],
    }

    #[cfg(feature = "libpmemobj")]
    pub(super) const LIBPMEMOBJ: Peer = Peer {
        name: "libpmemobj",
        cfg: "has_libpmemobj",
        source: "c/pmemobj_peer.c",
        header: "libpmemobj.h",
        package: "libpmemobj-dev",
        libraries: &["pmemobj", "pmem", "dl"],
    };

    #[cfg(feature = "pmemkv")]
    pub(super) const PMEMKV: Peer = Peer {
        name: "pmemkv",
        cfg: "has_pmemkv",
        source: "c/pmemkv_peer.c",
        header: "libpmemkv.h",
        package: "libpmemkv-dev",
        libraries: &["pmemkv", "pmemobj", "pmem"],
    };

    impl Peer {
        /// Where the library is not there, a warning has to do: with `--all-features` everything must build on every
        /// machine.
        pub(super) fn build(&self) {
            let Self { name, cfg, source, header, package, .. } = self;
            println!("cargo::rerun-if-changed={source}");
            // What the compiler and the linker look at besides the system's directories.
            println!("cargo::rerun-if-env-changed=C_INCLUDE_PATH");
            println!("cargo::rerun-if-env-changed=LIBRARY_PATH");
            if !self.has_header() {
                println!("cargo::warning=there is no {header} (Debian: apt-get install {package});");
                println!("cargo::warning=`compare` will not measure {name}");
                // A file that is not there makes cargo come back and look again.
                println!("cargo::rerun-if-changed={header}");
                return;
            }
            cc::Build::new().file(source).std("gnu11").compile(&format!("{name}_peer"));
            for library in self.libraries {
                println!("cargo::rustc-link-lib={library}");
            }
            println!("cargo::rustc-cfg={cfg}");
        }

        fn has_header(&self) -> bool {
            let mut preprocess = cc::Build::new().get_compiler().to_command();
            preprocess.args(["-E", "-x", "c", "-include", self.header, "/dev/null"]);
            preprocess
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        }
    }
}
