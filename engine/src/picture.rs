use crate::step::{Shape, Window};

/// Zeros before and after a picture's rows and columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Margins {
    pub(crate) rows: [usize; 2],
    pub(crate) columns: [usize; 2],
}

impl Margins {
    /// What a window needs beyond a picture.
    pub(crate) fn new(window: Window, input: &Layout) -> Self {
        Self { rows: window.margins(input.height), columns: window.margins(input.width) }
    }
}

/// How a picture lies in memory: rows of pixels of channels, with the margin that the layer which reads it wants, so that
/// no window has to ask where the picture ends, and with as many channels as fill whole vectors; the ones too many are
/// zero. A vector is a picture of one pixel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// The channels of the picture.
    pub(crate) channels: usize,
    /// The channels in memory.
    pub(crate) depth: usize,
    pub(crate) margins: Margins,
}

impl Layout {
    pub(crate) fn new(shape: Shape, margins: Margins, lanes: usize) -> Self {
        let (height, width, channels) = match shape {
            Shape::Image { height, width, channels } => (height, width, channels),
            Shape::Vector(length) => (1, 1, length),
        };
        Self { height, width, channels, depth: channels.next_multiple_of(lanes), margins }
    }

    /// Values from one row to the next.
    pub(crate) fn pitch(&self) -> usize {
        (self.width + self.margins.columns.iter().sum::<usize>()) * self.depth
    }

    /// Place of the pixel's first value. Without its margin a picture starts at `(0, 0)`.
    pub(crate) fn pixel(&self, y: usize, x: usize) -> usize {
        self.window(y + self.margins.rows[0], x + self.margins.columns[0])
    }

    /// As [`Layout::pixel`], where the margin's corner is `(0, 0)`: where a window starts.
    pub(crate) fn window(&self, y: usize, x: usize) -> usize {
        y * self.pitch() + x * self.depth
    }

    fn len(&self) -> usize {
        (self.height + self.margins.rows.iter().sum::<usize>()) * self.pitch()
    }
}

/// The values of a picture.
pub(crate) struct Picture {
    pub(crate) layout: Layout,
    /// At least those of the layout; what follows means nothing.
    pub(crate) values: Vec<f32>,
}

impl Picture {
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        let (first, row) = (self.layout.pixel(0, 0), self.layout.width * self.layout.depth);
        self.values[first..].chunks(self.layout.pitch()).take(self.layout.height).map(move |values| &values[..row])
    }

    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (first, row) = (self.layout.pixel(0, 0), self.layout.width * self.layout.depth);
        let rows = self.values[first..].chunks_mut(self.layout.pitch()).take(self.layout.height);
        rows.map(move |values| &mut values[..row])
    }
}

/// Memory that goes from picture to picture, so that a classification asks for none.
#[derive(Default)]
pub(crate) struct Buffers(Vec<Vec<f32>>);

impl Buffers {
    /// A picture whose margin is zero. The rest is anything.
    pub(crate) fn picture(&mut self, layout: Layout) -> Picture {
        let mut values = self.take(layout.len());
        let ([top, _], [left, right]) = (layout.margins.rows, layout.margins.columns);
        let pitch = layout.pitch();
        let (above, rest) = values[..layout.len()].split_at_mut(top * pitch);
        let (rows, below) = rest.split_at_mut(layout.height * pitch);
        above.fill(0.0);
        below.fill(0.0);
        if left + right > 0 {
            for row in rows.chunks_exact_mut(pitch) {
                row[..left * layout.depth].fill(0.0);
                row[pitch - right * layout.depth..].fill(0.0);
            }
        }
        Picture { layout, values }
    }

    /// At least `length` values of any kind.
    pub(crate) fn take(&mut self, length: usize) -> Vec<f32> {
        // The one that fits best, so that the largest is not spent on the smallest.
        let best = (0..self.0.len()).min_by_key(|&i| match self.0[i].len() {
            found if found >= length => (0, found),
            found => (1, usize::MAX - found),
        });
        let mut values = best.map(|best| self.0.swap_remove(best)).unwrap_or_default();
        // Never shorter: to grow again would write zeros that nobody reads.
        if values.len() < length {
            values.resize(length, 0.0);
        }
        values
    }

    pub(crate) fn give_back(&mut self, values: Vec<f32>) {
        self.0.push(values);
    }
}
