package lab

import "fmt"

// RemoveDevice takes a device out of a living node, as when a driver is unloaded or
// a virtual machine's card is detached: addresses and routes go with it. It
// returns when it is gone.
func (n *Node) RemoveDevice(dev string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ln, err := n.link(dev)
	if err == nil {
		err = ln.sw.deletePort(n.Name)
	}
	if err != nil {
		return fmt.Errorf("lab: %s: remove %s: %w", n.Name, dev, err)
	}
	return nil
}

// RestoreDevice puts a removed device back, with its hardware address and its base
// addresses, and returns when both ends can send. To the kernel it is a new
// one: it has another index, and the settings of the defaults.
func (n *Node) RestoreDevice(dev string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ln, err := n.link(dev)
	if err == nil {
		err = n.connect(ln)
	}
	if err == nil {
		err = n.awaitCarriers()
	}
	if err != nil {
		return fmt.Errorf("lab: %s: restore %s: %w", n.Name, dev, err)
	}
	return nil
}
