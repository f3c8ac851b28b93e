//! A pinhole camera and what it sees painted: paths that lie on any surface, bent and projected point by point.

use tiny_skia::{
    Color, FillRule, FilterQuality, Paint, Path, PathBuilder, PathSegment, Pattern, Pixmap, Point, Shader, SpreadMode,
    Stroke, Transform,
};

/// A place in the scene: x to the right, y up from the ground, z towards the camera; the product stands at the origin.
pub(super) type Place = [f32; 3];

/// Focal length by the picture's side: a short telephoto lens, as one would use for a thing on a table.
const LENS: f32 = 2.2;

/// Nothing is seen from nearer than this: what lies beside or behind the camera goes far out of the picture instead of through it.
const NEAREST: f32 = 0.3;

/// Where the camera stands.
#[derive(Clone, Copy)]
pub(super) struct Eye {
    /// Distance to the point looked at.
    pub(super) distance: f32,
    /// Height above the ground of the point looked at.
    pub(super) target: f32,
    /// Sine and cosine of the angle at which the camera looks down.
    pub(super) pitch: (f32, f32),
}

/// A square picture in the making.
pub(super) struct Canvas {
    pub(super) pixmap: Pixmap,
    pub(super) eye: Eye,
}

impl Canvas {
    pub(super) fn side(&self) -> f32 {
        self.pixmap.width() as f32
    }

    /// Returns where in the picture a place is seen, in pixels.
    pub(super) fn project(&self, [x, y, z]: Place) -> Point {
        let (sin, cos) = self.eye.pitch;
        let y = y - self.eye.target;
        let (up, near) = (y * cos - z * sin, y * sin + z * cos);
        let zoom = LENS / (self.eye.distance - near).max(NEAREST);
        Point::from_xy(self.side() * (0.5 + x * zoom), self.side() * (0.5 - up * zoom))
    }

    /// Fills a path that is given in pixels. No path, as the crate calls one without area, is nothing to do.
    pub(super) fn fill(&mut self, path: Option<Path>, shader: Shader) {
        self.fill_as(path, Paint { shader, ..Paint::default() });
    }

    /// Fills a path with hard edges, so that translucent neighbours leave no seam between them.
    pub(super) fn fill_seamless(&mut self, path: Option<Path>, shader: Shader) {
        self.fill_as(path, Paint { shader, anti_alias: false, ..Paint::default() });
    }

    fn fill_as(&mut self, path: Option<Path>, paint: Paint) {
        if let Some(path) = path {
            self.pixmap.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Returns the polygon of places as a path in pixels.
    pub(super) fn outline(&self, places: impl IntoIterator<Item = Place>) -> Option<Path> {
        polygon(places.into_iter().map(|place| self.project(place)).map(|point| (point.x, point.y)))
    }

    /// Returns a pen that writes on the surface which `place` maps its coordinates to. Straight lines are bent every `step`.
    pub(super) fn pen<'a>(&'a mut self, step: f32, place: &'a dyn Fn(f32, f32) -> Place) -> Pen<'a> {
        Pen { canvas: self, step, place }
    }

    /// Fills a path, given in pixels, with what `paint` does to a canvas of fewer pixels: out of focus, and quick.
    pub(super) fn fill_blurred(&mut self, path: Option<Path>, times: f32, paint: impl FnOnce(&mut Self)) {
        let side = (self.side() / times).ceil().max(2.0);
        let Some(pixmap) = Pixmap::new(side as u32, side as u32) else { return };
        let mut small = Self { pixmap, eye: self.eye };
        paint(&mut small);
        let zoom = Transform::from_scale(self.side() / side, self.side() / side);
        let pattern = Pattern::new(small.pixmap.as_ref(), SpreadMode::Pad, FilterQuality::Bilinear, 1.0, zoom);
        self.fill(path, pattern);
    }
}

/// Writes on a surface.
pub(super) struct Pen<'a> {
    canvas: &'a mut Canvas,
    step: f32,
    place: &'a dyn Fn(f32, f32) -> Place,
}

impl Pen<'_> {
    /// Fills a path that is given in the surface's coordinates.
    pub(super) fn fill(&mut self, path: Option<Path>, colour: Color) {
        let bent = path.and_then(|path| self.bend(&path));
        self.canvas.fill(bent, Shader::SolidColor(colour));
    }

    fn bend(&self, path: &Path) -> Option<Path> {
        let see = |point: Point| self.canvas.project((self.place)(point.x, point.y));
        let mut bent = PathBuilder::new();
        let (mut start, mut last) = (Point::zero(), Point::zero());
        let line = |bent: &mut PathBuilder, from: Point, to: Point| {
            let pieces = (from.distance(to) / self.step).ceil().clamp(1.0, 48.0);
            for piece in 1..=pieces as u32 {
                let part = piece as f32 / pieces;
                let at = see(Point::from_xy(from.x + part * (to.x - from.x), from.y + part * (to.y - from.y)));
                bent.line_to(at.x, at.y);
            }
        };
        for segment in path.segments() {
            match segment {
                PathSegment::MoveTo(to) => {
                    let at = see(to);
                    bent.move_to(at.x, at.y);
                    (start, last) = (to, to);
                }
                PathSegment::LineTo(to) => {
                    line(&mut bent, last, to);
                    last = to;
                }
                PathSegment::QuadTo(a, to) => {
                    let (control, at) = (see(a), see(to));
                    bent.quad_to(control.x, control.y, at.x, at.y);
                    last = to;
                }
                PathSegment::CubicTo(a, b, to) => {
                    let (first, second, at) = (see(a), see(b), see(to));
                    bent.cubic_to(first.x, first.y, second.x, second.y, at.x, at.y);
                    last = to;
                }
                PathSegment::Close => {
                    line(&mut bent, last, start);
                    bent.close();
                    last = start;
                }
            }
        }
        bent.finish()
    }
}

/// Returns a closed polygon.
pub(super) fn polygon(points: impl IntoIterator<Item = (f32, f32)>) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (x, y) in points {
        if path.is_empty() { path.move_to(x, y) } else { path.line_to(x, y) }
    }
    path.close();
    path.finish()
}

/// Returns the rectangle between two corners.
pub(super) fn rectangle(left: f32, bottom: f32, right: f32, top: f32) -> Option<Path> {
    polygon([(left, bottom), (right, bottom), (right, top), (left, top)])
}

/// Returns a disc.
pub(super) fn disc(x: f32, y: f32, radius: f32) -> Option<Path> {
    PathBuilder::from_circle(x, y, radius)
}

/// Returns a line of `width` through the points.
pub(super) fn line(points: impl IntoIterator<Item = (f32, f32)>, width: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (x, y) in points {
        if path.is_empty() { path.move_to(x, y) } else { path.line_to(x, y) }
    }
    path.finish()?.stroke(&Stroke { width, ..Stroke::default() }, 20.0)
}

/// Returns the colour written `0xRRGGBB`.
pub(super) fn ink(rgb: u32) -> Color {
    let [_, red, green, blue] = rgb.to_be_bytes();
    Color::from_rgba8(red, green, blue, 255)
}

/// Returns the colour with each channel multiplied.
pub(super) fn dim(rgb: u32, factor: f32) -> Color {
    let colour = ink(rgb);
    let channel = |value: f32| (value * factor).clamp(0.0, 1.0);
    let [red, green, blue] = [colour.red(), colour.green(), colour.blue()].map(channel);
    Color::from_rgba(red, green, blue, 1.0).unwrap_or(colour)
}

/// Returns what, laid over a picture, makes it `light` times as bright: thin black, or thin white above 1.
pub(super) fn veil(light: f32) -> Color {
    let white = if light > 1.0 { 1.0 } else { 0.0 };
    let alpha = (light - 1.0).abs().min(1.0);
    Color::from_rgba(white, white, white, alpha).unwrap_or(Color::TRANSPARENT)
}
