"""The Random Hierarchy Model, with belief propagation on its trees."""

from jaxwin.targets.random_hierarchy._beliefs import (
    Beliefs as Beliefs,
    Messages as Messages,
)
from jaxwin.targets.random_hierarchy._enumeration import (
    Enumeration as Enumeration,
    enumerate_trees as enumerate_trees,
    log_number_of_trees as log_number_of_trees,
)
from jaxwin.targets.random_hierarchy._evidence import (
    word_evidence as word_evidence,
)
from jaxwin.targets.random_hierarchy._law import (
    RandomHierarchy as RandomHierarchy,
    Tree as Tree,
)
from jaxwin.targets.random_hierarchy._rules import zipf_weights as zipf_weights
from jaxwin.targets.random_hierarchy._validity import (
    copies as copies,
    valid_nodes as valid_nodes,
    validity as validity,
)
