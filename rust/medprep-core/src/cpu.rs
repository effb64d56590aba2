//! Which vector instructions the kernels use: found once at start, or forced by `MEDPREP_CPU`.
//!
//! All paths give the same bytes; the scalar one is the definition. Every operation asks
//! [`Cpu::current`] itself, so that there is one public function for it. No gathers anywhere: they are
//! slow where the Downfall microcode mitigates them, and a VM may hide that.

use std::cell::Cell;
use std::sync::OnceLock;

use crate::{Error, Result};

/// A set of instructions that has its own kernels. Later ones include the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cpu {
    /// Plain Rust; runs everywhere.
    Scalar,
    /// AVX2, FMA, BMI and LZCNT: Haswell and Zen 1 onwards.
    Avx2,
    /// AVX-512 F, BW, DQ, VL: Skylake-X onwards.
    Avx512,
    /// The same with byte permutes (VBMI): Ice Lake and Zen 4 onwards.
    Avx512Vbmi,
}

/// The environment variable that forces a path.
pub const VARIABLE: &str = "MEDPREP_CPU";

impl Cpu {
    /// Every path, slowest first.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Avx512Vbmi];

    /// The name taken by `MEDPREP_CPU` and shown by `medprep doctor`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vbmi => "avx512vbmi",
        }
    }

    /// Whether this machine (and its operating system) can run the path.
    pub fn is_available(self) -> bool {
        self <= Self::best()
    }

    #[cfg(target_arch = "x86_64")]
    fn is_found(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match self {
            Self::Scalar => true,
            Self::Avx2 => avx2,
            Self::Avx512 => avx512,
            Self::Avx512Vbmi => avx512 && is_x86_feature_detected!("avx512vbmi"),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_found(self) -> bool {
        self == Self::Scalar
    }

    /// The fastest path of this machine.
    pub fn best() -> Self {
        // Kernels ask for every row.
        static BEST: OnceLock<Cpu> = OnceLock::new();
        *BEST.get_or_init(|| {
            Self::ALL.into_iter().rev().find(|cpu| cpu.is_found()).unwrap_or(Self::Scalar)
        })
    }

    /// The path named by `wanted`, or the best one when nothing is named.
    ///
    /// # Errors
    /// `Spec` for an unknown name or one this CPU cannot run.
    pub fn choose(wanted: Option<&str>) -> Result<Self> {
        let Some(name) = wanted.map(str::trim).filter(|name| !name.is_empty()) else {
            return Ok(Self::best());
        };
        let names = Self::ALL.map(Self::name).join(", ");
        let Some(cpu) = Self::ALL.into_iter().find(|cpu| cpu.name() == name) else {
            return Err(Error::Spec(format!(
                "{VARIABLE}: unknown path '{name}'; expected one of {names}"
            )));
        };
        if !cpu.is_available() {
            return Err(Error::Spec(format!(
                "{VARIABLE}: this CPU cannot run '{name}'; its best is '{}' (unset {VARIABLE} to use it)",
                Self::best().name()
            )));
        }
        Ok(cpu)
    }

    /// The path of this process: `MEDPREP_CPU` as it was at the first call, else the best.
    ///
    /// # Errors
    /// As [`Cpu::choose`], the same at every call.
    pub fn of_process() -> Result<Self> {
        static CHOSEN: OnceLock<std::result::Result<Cpu, String>> = OnceLock::new();
        CHOSEN
            .get_or_init(|| {
                let wanted = std::env::var(VARIABLE).ok();
                Self::choose(wanted.as_deref()).map_err(|error| error.to_string())
            })
            .clone()
            .map_err(Error::Spec)
    }

    /// The path of this thread: that of [`Cpu::force`] inside it, else that of the process.
    ///
    /// # Errors
    /// As [`Cpu::of_process`].
    pub fn current() -> Result<Self> {
        FORCED.get().map_or_else(Self::of_process, Ok)
    }

    /// Whether somebody asked for the path of this thread by [`Cpu::force`] or `MEDPREP_CPU`; else
    /// it is what the machine has.
    pub fn is_named() -> bool {
        static IN_ENVIRONMENT: OnceLock<bool> = OnceLock::new();
        let in_environment = || std::env::var(VARIABLE).is_ok_and(|name| !name.trim().is_empty());
        FORCED.get().is_some() || *IN_ENVIRONMENT.get_or_init(in_environment)
    }

    /// Runs `work` on this path, whatever `MEDPREP_CPU` says: for tests and benches. Threads that
    /// `work` starts are not affected.
    ///
    /// # Panics
    /// If this machine cannot run the path.
    pub fn force<R>(self, work: impl FnOnce() -> R) -> R {
        /// Puts the path back, also when `work` panics.
        struct Restore(Option<Cpu>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FORCED.set(self.0);
            }
        }
        assert!(self.is_available(), "this CPU cannot run '{}'", self.name());
        let _restore = Restore(FORCED.replace(Some(self)));
        work()
    }

    /// What vector kernels ask of the path they are given.
    pub(crate) fn assert_vector(self) {
        assert!(self != Self::Scalar && self.is_available(), "the scalar path has its own code");
    }
}

thread_local! {
    static FORCED: Cell<Option<Cpu>> = const { Cell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scalar_path_is_always_there() {
        assert_eq!(Cpu::choose(Some("scalar")).unwrap(), Cpu::Scalar);
        assert_eq!(Cpu::choose(None).unwrap(), Cpu::best());
        assert_eq!(Cpu::choose(Some("")).unwrap(), Cpu::best());
    }

    #[test]
    fn an_unknown_path_is_refused_with_the_names() {
        let error = Cpu::choose(Some("sse9")).unwrap_err().to_string();
        assert_eq!(
            error,
            "MEDPREP_CPU: unknown path 'sse9'; expected one of scalar, avx2, avx512, avx512vbmi"
        );
    }

    #[test]
    fn a_forced_path_holds_inside_only_and_may_be_nested() {
        let outside = Cpu::current().unwrap();
        Cpu::best().force(|| {
            assert_eq!(Cpu::Scalar.force(Cpu::current).unwrap(), Cpu::Scalar);
            assert!(Cpu::is_named());
            assert_eq!(Cpu::current().unwrap(), Cpu::best());
        });
        let panicked = std::panic::catch_unwind(|| Cpu::Scalar.force(|| panic!("inside")));
        assert!(panicked.is_err());
        assert_eq!(Cpu::current().unwrap(), outside);
    }

    #[test]
    fn a_path_the_cpu_lacks_is_refused_and_the_others_are_taken() {
        for cpu in Cpu::ALL {
            match Cpu::choose(Some(cpu.name())) {
                Ok(chosen) => assert!(chosen == cpu && cpu.is_available()),
                Err(error) => {
                    assert!(!cpu.is_available());
                    assert!(error.to_string().contains("this CPU cannot run"));
                }
            }
        }
    }
}
