"""What tests of every tier stand on: nodes, PACSs, scanners, ledgers, servers, clocks."""
