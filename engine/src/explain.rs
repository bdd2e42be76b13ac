//! What a network looks at, and what its convolutions see.

use fearless_simd::dispatch;

use crate::{Kernel, Network, Picture, log_sum_exp, run};

/// How much each place of the last picture in a network adds to one of the logits: `values` are `[height, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Above 0 where a place speaks for the label, below where it speaks against it.
    pub values: Vec<f32>,
}

/// What a convolution, with all that is fused into it, makes of a photo: `values` are `[height, width, channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMaps {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values a pixel.
    pub channels: usize,
    /// The values.
    pub values: Vec<f32>,
}

impl Network {
    /// The logits of `input`, and which places one of them, that which `output` names, rests on: each value of the last
    /// picture times the derivative of the logit by it, summed over the channels (HiResCAM, Draelos and Carin 2020). After a global average pool
    /// this is the class-activation map (Zhou et al. 2016), which Grad-CAM gives there, too. Where one dense layer
    /// follows, the values and its bias add up to the logit; Grad-CAM, which averages the derivatives first, is not true to
    /// the network where more follows.
    ///
    /// # Panics
    /// If `input` has another length than [`Network::forward`] wants, or there is no such output.
    pub fn explain(&self, input: &[f32], output: impl FnOnce(&[f32]) -> usize) -> (Vec<f32>, Heat) {
        let is_head = |kernel: &Kernel| matches!(kernel, Kernel::Mean | Kernel::Dense(_) | Kernel::LogSumExp(_));
        let cut = self.layers.iter().position(|layer| is_head(&layer.kernel)).unwrap_or(self.layers.len());
        let (body, head) = self.layers.split_at(cut);
        self.with_buffers(|buffers| {
            let picture = self.picture(input, buffers);
            let mut outputs = Vec::new();
            let picture = dispatch!(self.level, simd => {
                let picture = run(simd, body, picture, buffers, &mut |_, _| {});
                for layer in head {
                    outputs.push(layer.forward(simd, outputs.last().unwrap_or(&picture), buffers, &mut |_, _| {}));
                }
                picture
            });
            let last = outputs.last().unwrap_or(&picture);
            let logits = last.values[..last.layout.channels].to_vec();
            let mut gradient = vec![0.0; logits.len()];
            gradient[output(&logits)] = 1.0;
            for (i, layer) in head.iter().enumerate().rev() {
                gradient = match &layer.kernel {
                    Kernel::Dense(dense) => dense.gradient(&outputs[i], gradient),
                    // What reaches it is a dense layer's output.
                    Kernel::LogSumExp(groups) => log_sum_exp::gradient(groups, &outputs[i - 1].values, &gradient),
                    // Only the mean is left, and a network has one at most.
                    _ => spread(gradient, &picture),
                };
            }
            let heat = weigh(&picture, &gradient);
            outputs.into_iter().chain([picture]).for_each(|picture| buffers.give_back(picture.values));
            (logits, heat)
        })
    }

    /// What each convolution makes of `input`, first to last, those in residual blocks, too.
    ///
    /// # Panics
    /// If `input` has another length than [`Network::forward`] wants.
    pub fn feature_maps(&self, input: &[f32]) -> Vec<FeatureMaps> {
        let mut maps = Vec::new();
        self.with_buffers(|buffers| {
            let picture = self.picture(input, buffers);
            dispatch!(self.level, simd => run(simd, &self.layers, picture, buffers, &mut |layer, picture| {
                if matches!(layer.kernel, Kernel::Conv(_) | Kernel::Winograd(_) | Kernel::Depthwise(_)) {
                    maps.push(FeatureMaps::of(picture));
                }
            }));
        });
        maps
    }
}

impl FeatureMaps {
    /// The picture without what it has for the kernels' sake.
    fn of(picture: &Picture) -> Self {
        let values = pixels(picture).flatten().copied().collect();
        let layout = picture.layout;
        Self { height: layout.height, width: layout.width, channels: layout.channels, values }
    }
}

/// The values of each pixel.
fn pixels(picture: &Picture) -> impl Iterator<Item = &[f32]> {
    let (channels, depth) = (picture.layout.channels, picture.layout.depth);
    picture.rows().flat_map(move |row| row.chunks_exact(depth)).map(move |pixel| &pixel[..channels])
}

/// The derivative by each value of a picture, from that by each channel's mean.
fn spread(gradient: Vec<f32>, picture: &Picture) -> Vec<f32> {
    let count = picture.layout.height * picture.layout.width;
    let share: Vec<f32> = gradient.into_iter().map(|gradient| gradient / count as f32).collect();
    share.repeat(count)
}

/// Each value times its derivative, summed over the channels.
fn weigh(picture: &Picture, gradient: &[f32]) -> Heat {
    let dot = |(pixel, gradient): (&[f32], &[f32])| pixel.iter().zip(gradient).map(|(x, g)| x * g).sum();
    let values = pixels(picture).zip(gradient.chunks_exact(picture.layout.channels)).map(dot).collect();
    Heat { height: picture.layout.height, width: picture.layout.width, values }
}
