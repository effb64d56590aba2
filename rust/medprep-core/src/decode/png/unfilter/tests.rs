//! Every vector path against the scalar definition.

use super::{Rows, SLACK};
use crate::Cpu;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Noise, small differences as in photographs, or extremes.
    fn byte(&mut self, kind: u64) -> u8 {
        match kind {
            0 => self.next() as u8,
            1 => (self.next() % 7) as u8,
            _ => [0, 1, 127, 128, 254, 255][(self.next() % 6) as usize],
        }
    }
}

fn unfiltered(cpu: Cpu, data: &[u8], shape: [usize; 3], band: usize) -> Vec<u8> {
    let [height, width, pixel_len] = shape;
    let (mut data, mut zeros) = (data.to_vec(), vec![0; 1 + width * pixel_len + SLACK]);
    let mut rows = Rows { data: &mut data, width, pixel_len, height, zeros: &mut zeros };
    assert!(rows.has_known_filters());
    for first in (0..height).step_by(band) {
        rows.unfilter(cpu, first..height.min(first + band));
    }
    data
}

#[test]
fn vector_paths_equal_the_scalar_one() {
    let mut random = Random(1);
    for case in 0..3000 {
        let shape = [1 + random.next() % 20, 1 + random.next() % 40, 1 + case % 4];
        let [height, width, pixel_len] = shape.map(|side| side as usize);
        let stride = 1 + width * pixel_len;
        let kind = random.next() % 3;
        let mut data: Vec<u8> = (0..height * stride + SLACK).map(|_| random.byte(kind)).collect();
        // All filters mixed, or some only.
        let filters: &[u8] = match random.next() % 4 {
            0 => &[4],
            1 => &[0, 1, 2, 4],
            2 => &[0, 2],
            _ => &[0, 1, 2, 3, 4],
        };
        for row in data.chunks_exact_mut(stride).take(height) {
            row[0] = filters[random.next() as usize % filters.len()];
        }
        let band = [3, 8, 16][random.next() as usize % 3];
        let shape = [height, width, pixel_len];
        let expected = unfiltered(Cpu::Scalar, &data, shape, height);
        for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
            let got = unfiltered(cpu, &data, shape, band);
            assert!(got == expected, "{cpu:?} {shape:?} filters {filters:?}, bands of {band}");
        }
    }
}

#[test]
fn a_filter_type_that_does_not_exist_is_noticed() {
    let (mut data, mut zeros) = (vec![0; 3 * 4 + SLACK], vec![0; 4 + SLACK]);
    data[8] = 5;
    let mut rows = Rows { data: &mut data, width: 3, pixel_len: 1, height: 3, zeros: &mut zeros };
    assert!(!rows.has_known_filters());
    rows.height = 2;
    assert!(rows.has_known_filters());
}
