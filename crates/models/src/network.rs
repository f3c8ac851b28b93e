//! The networks that can be trained from zero: what `--network` takes.
//!
//! A row names a network and the size it was made for; everything else is its table. Other sizes work too: most networks average over
//! positions in the end, and the first fully connected layer of the MLP, LeNet and AlexNet adapts.

use crate::efficientnet::{self, Scale};
use crate::init::{initialize, initialize_with};
use crate::resnet::{self, Depth};
use crate::{Error, airbench, alexnet, lenet, mlp, mobilenet};
use percept_graph::{Graph, Params};

/// Which table builds a network.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Table {
    Mlp,
    LeNet,
    AlexNet,
    ResNet(Depth),
    Airbench([usize; 3]),
    MobileNetV2,
    EfficientNet(Scale),
}

/// A network without weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// The name that `--network` takes.
    pub name: &'static str,
    /// Height and width of the pictures if the user does not choose.
    pub size: usize,
    /// The highest learning rate that suits it, of AdamW with weight decay 0.1 and batches of 128 pictures, from zero.
    pub learning_rate: f64,
    table: Table,
}

const fn network(name: &'static str, size: usize, table: Table) -> Network {
    // Without normalisation a deep or wide network learns at lower rates only.
    let learning_rate = match table {
        Table::AlexNet => 1e-3,
        Table::Mlp => 2e-3,
        _ => 5e-3,
    };
    Network { name, size, learning_rate, table }
}

/// All networks, the oldest family first and the smallest of each first.
pub const NETWORKS: [Network; 13] = [
    network("mlp", 28, Table::Mlp),
    network("lenet", 28, Table::LeNet),
    network("alexnet", 32, Table::AlexNet),
    network("resnet20", 32, Table::ResNet(Depth::RESNET20)),
    network("resnet56", 32, Table::ResNet(Depth::RESNET56)),
    network("airbench94", 32, Table::Airbench(airbench::AIRBENCH94)),
    network("airbench95", 32, Table::Airbench(airbench::AIRBENCH95)),
    network("resnet18", 224, Table::ResNet(Depth::RESNET18)),
    network("resnet34", 224, Table::ResNet(Depth::RESNET34)),
    network("mobilenetv2", 224, Table::MobileNetV2),
    network("efficientnet-lite0", Scale::LITE0.size, Table::EfficientNet(Scale::LITE0)),
    network("efficientnet-lite1", Scale::LITE1.size, Table::EfficientNet(Scale::LITE1)),
    network("efficientnet-lite2", Scale::LITE2.size, Table::EfficientNet(Scale::LITE2)),
];

impl Network {
    /// The network called `name`.
    ///
    /// ```
    /// use percept_models::Network;
    ///
    /// assert_eq!(Network::find("lenet")?.size, 28);
    /// let message = Network::find("lenet-5").unwrap_err().to_string();
    /// assert!(message.starts_with("there is no network \"lenet-5\": choose one of mlp, lenet, "));
    /// # Ok::<(), percept_models::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is none; the message lists all names.
    pub fn find(name: &str) -> Result<&'static Self, Error> {
        NETWORKS.iter().find(|network| network.name == name).ok_or_else(|| Error::UnknownNetwork {
            name: name.into(),
            known: NETWORKS.map(|network| network.name).join(", "),
        })
    }

    /// First values for the parameters of such a network, as [`initialize`] draws them where the network does not say otherwise.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn initialize(&self, graph: &Graph, seed: u64) -> Result<Params, Error> {
        match self.table {
            Table::Airbench(_) => initialize_with(graph, seed, airbench::first_value),
            _ => initialize(graph, seed),
        }
    }

    /// Whether its first convolution is to begin with [`airbench::begin_with`].
    pub fn whitens(&self) -> bool {
        matches!(self.table, Table::Airbench(_))
    }

    /// The classifier from byte pictures `[N, size, size, 3]` in RGB to `logits`, `[N, classes]`.
    ///
    /// ```
    /// use percept_models::Network;
    ///
    /// let graph = Network::find("mobilenetv2")?.build(32, 5)?;
    /// assert_eq!(graph.value(graph.find("logits")?).ty.to_string(), "f32[N, 5]");
    /// # Ok::<(), percept_models::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the pictures are too small for the network.
    pub fn build(&self, size: usize, classes: usize) -> Result<Graph, percept_graph::Error> {
        match self.table {
            Table::Mlp => mlp::classifier(self.name, size, classes),
            Table::LeNet => lenet::classifier(self.name, size, classes),
            Table::Airbench(channels) => airbench::classifier(self.name, channels, size, classes),
            Table::AlexNet => alexnet::classifier(self.name, size, classes),
            Table::ResNet(depth) => resnet::classifier(self.name, depth, size, classes),
            Table::MobileNetV2 => mobilenet::classifier(self.name, size, classes),
            Table::EfficientNet(scale) => efficientnet::classifier(self.name, &Scale { size, ..scale }, classes),
        }
    }
}
