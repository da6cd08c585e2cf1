"""Every documented form of the node, installed from nothing as documented, does one study."""
