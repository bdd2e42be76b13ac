use crate::{Error, Result};

/// A picture: 8-bit sRGB, three bytes a pixel, rows from the top. It has at least one pixel and exactly
/// `width * height * 3` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Pixels {
    /// The longest photo file that is accepted, in bytes.
    pub const MAX_FILE: usize = 64 << 20;
    /// The longest side, in pixels, of a picture that is accepted.
    pub const MAX_SIDE: u32 = 16_384;
    /// The largest number of pixels of a picture that is accepted.
    pub const MAX_PIXELS: u64 = 64 << 20;

    /// Wraps `rgb`, `width * height * 3` bytes.
    ///
    /// # Errors
    /// [`Error::PhotoDimensions`] for a size outside the limits, [`Error::FrameLength`] for a buffer that does not fit it.
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self> {
        Self::check_size(width, height)?;
        let expected = width as usize * height as usize * 3;
        if rgb.len() != expected {
            return Err(Error::FrameLength { width, height, expected, found: rgb.len() });
        }
        Ok(Self { width, height, rgb })
    }

    /// A picture from `rgba`, `width * height * 4` bytes with straight alpha, as a canvas gives it. Transparent parts
    /// are laid over white, as the page shows them.
    ///
    /// # Errors
    /// As [`Pixels::from_rgb`].
    pub fn from_rgba(width: u32, height: u32, rgba: &[u8]) -> Result<Self> {
        Self::check_size(width, height)?;
        let expected = width as usize * height as usize * 4;
        if rgba.len() != expected {
            return Err(Error::FrameLength { width, height, expected, found: rgba.len() });
        }
        Ok(Self { width, height, rgb: husky_engine::over_white(rgba) })
    }

    /// Whether a picture of this size is accepted at all; asked before memory is set aside for it.
    pub(crate) fn check_size(width: u32, height: u32) -> Result<()> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || width.max(height) > Self::MAX_SIDE || pixels > Self::MAX_PIXELS {
            return Err(Error::PhotoDimensions { width, height });
        }
        Ok(())
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The bytes, `[height, width, 3]`, without a copy.
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_size_outside_the_limits_is_refused() {
        for (width, height) in [(0, 0), (0, 1), (1, 0), (16_385, 1), (1, 16_385), (8192, 8193), (u32::MAX, u32::MAX)] {
            let expected = Err(Error::PhotoDimensions { width, height });
            assert_eq!(Pixels::from_rgb(width, height, vec![]), expected);
            assert_eq!(Pixels::from_rgba(width, height, &[]), expected);
        }
        for (width, height) in [(1, 1), (16_384, 1), (16_384, 4096)] {
            assert_eq!(Pixels::check_size(width, height), Ok(()));
        }
    }

    #[test]
    fn a_buffer_that_does_not_fit_is_refused() {
        for found in [0, 17, 19] {
            let expected = Err(Error::FrameLength { width: 3, height: 2, expected: 18, found });
            assert_eq!(Pixels::from_rgb(3, 2, vec![0; found]), expected);
        }
        for found in [0, 23, 25] {
            let expected = Err(Error::FrameLength { width: 3, height: 2, expected: 24, found });
            assert_eq!(Pixels::from_rgba(3, 2, &vec![0; found]), expected);
        }
    }

    #[test]
    fn alpha_is_laid_over_white() {
        let over_white = |rgba: [u8; 4]| Pixels::from_rgba(1, 1, &rgba).unwrap().rgb().to_vec();
        assert_eq!(over_white([10, 20, 30, 255]), [10, 20, 30]);
        assert_eq!(over_white([10, 20, 30, 0]), [255, 255, 255]);
        for alpha in 0..=255 {
            let exact = (10.0 * f64::from(alpha) + 255.0 * (255.0 - f64::from(alpha))) / 255.0;
            assert_eq!(f64::from(over_white([10, 0, 0, alpha])[0]), exact.round(), "alpha {alpha}");
        }
    }
}
