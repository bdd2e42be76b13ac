//! Photos that hide another picture from people. Of a large photo, a nearest-neighbour or plain bilinear resize looks at a
//! few pixels only; whoever changes just these makes a program see what nobody else does (Xiao et al. 2019, "Seeing is not
//! believing"; Quiring et al. 2020, "Adversarial preprocessing"). This crate's [resize](crate::resize) weighs all pixels, so
//! its answers are about what people see. That the photo was made to deceive is still worth a warning, and no sure answer.

use crate::Pixels;

/// Sizes of the input that networks commonly have, at which such a photo may be aimed. At smaller ones a photo's own detail
/// is as strong.
const SIZES: [u32; 9] = [96, 128, 160, 192, 224, 256, 299, 384, 512];
/// The [`contrast`] from which on a photo is suspected. Of 4,759 research photos one reaches it; 1 in 100 reaches 10.
const LIMIT: f32 = 20.0;
/// Blocks along a side whose means are compared, so that a photo's own fine detail averages out.
const BLOCKS: u32 = 16;
/// Pixels along a side that are looked at, about.
const SAMPLES: u32 = 96;

/// Whether a careless resize would see another picture than people do, at a common size or at `size`.
///
/// It is for photos as they come: what was shrunk on the way, as large JPEG files are while they are decoded, hides nothing
/// any more.
pub fn hides_another(photo: &Pixels, size: u32) -> bool {
    let own = Some(size).filter(|size| !SIZES.contains(size) && *size > SIZES[0]);
    SIZES.into_iter().chain(own).any(|size| contrast(photo, size) > LIMIT)
}

/// The root mean square difference, in `0.0..=255.0`, of the two pictures that nearest-neighbour resizes to `size` by `size`
/// find: at the corners of the areas that become a pixel, as OpenCV, and at their centres, as Pillow and bilinear ones. In a
/// photo they are alike. 0 where the photo is not twice as large.
pub fn contrast(photo: &Pixels, size: u32) -> f32 {
    let (width, height) = (photo.width(), photo.height());
    if width.min(height) < 2 * size {
        return 0.0;
    }
    let (pixels, _) = photo.rgb().as_chunks::<3>();
    let mut blocks = vec![[0.0_f32; 4]; (BLOCKS * BLOCKS) as usize];
    let step = (size / SAMPLES).max(1) as usize;
    // Corner and centre of each area along a side, and the block that it lies in.
    let places = |length: u32| -> Vec<[usize; 3]> {
        let place = |i: u32| [i * length / size, (2 * i + 1) * length / (2 * size), i * BLOCKS / size];
        (0..size).step_by(step).map(|i| place(i).map(|place| place as usize)).collect()
    };
    let columns = places(width);
    for [corner_y, center_y, block_y] in places(height) {
        for &[corner_x, center_x, block_x] in &columns {
            let corner = pixels[corner_y * width as usize + corner_x];
            let center = pixels[center_y * width as usize + center_x];
            let [sums @ .., count] = &mut blocks[block_y * BLOCKS as usize + block_x];
            for channel in 0..3 {
                sums[channel] += f32::from(center[channel]) - f32::from(corner[channel]);
            }
            *count += 1.0;
        }
    }
    let squares = |[sums @ .., count]: &[f32; 4]| sums.iter().map(|sum| (sum / count.max(1.0)).powi(2)).sum::<f32>();
    (blocks.iter().map(squares).sum::<f32>() / (3 * blocks.len()) as f32).sqrt()
}
