package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"
)

const (
	// networkFile is where containerd looks for the network of its pods.
	networkFile = "/etc/cni/net.d/10-podnetwork.conflist"
	// serviceLimit is how long the API server's Service may take to answer before pods are let in all the same.
	serviceLimit = time.Minute
)

// attachedNode is this node's part of the pods' network, as far as it is set up.
type attachedNode struct {
	settings settings
	// ownSubnet is that of this node's pods, once the network's file is written for it.
	ownSubnet string
	// routes are the other nodes' addresses by their pod subnets.
	routes map[string]string
}

// follow brings the node in line with the list of nodes, and returns when that has changed.
func (a *attachedNode) follow(ctx context.Context, api *api) error {
	nodes, version, err := api.list(ctx)
	if err != nil {
		return err
	}
	own, wanted := a.plan(nodes)
	if err := a.route(ctx, wanted); err != nil {
		return err
	}
	if own != "" && own != a.ownSubnet {
		if err := a.admitPods(ctx, own); err != nil {
			return err
		}
	}
	return api.watch(ctx, version, func(kind string, n node) bool {
		return kind == "DELETED" || a.isNews(n)
	})
}

// plan says which subnet this node's pods have, and which routes lead to the others'.
func (a *attachedNode) plan(nodes []node) (own string, routes map[string]string) {
	routes = map[string]string{}
	for _, n := range nodes {
		address := n.internalAddress()
		for _, subnet := range n.Spec.PodCIDRs {
			switch address {
			case "":
			case a.settings.nodeAddress:
				own = subnet
			default:
				routes[subnet] = address
			}
		}
	}
	return own, routes
}

// isNews says whether a node is not yet as it was planned for; its heartbeats are no news.
func (a *attachedNode) isNews(n node) bool {
	own, routes := a.plan([]node{n})
	for subnet, address := range routes {
		if a.routes[subnet] != address {
			return true
		}
	}
	return own != "" && own != a.ownSubnet
}

func (a *attachedNode) route(ctx context.Context, wanted map[string]string) error {
	for subnet, address := range wanted {
		if a.routes[subnet] == address {
			continue
		}
		if err := command(ctx, nil, "ip", "route", "replace", subnet, "via", address); err != nil {
			return err
		}
		log.Printf("%s is reached through %s", subnet, address)
		a.routes[subnet] = address
	}
	for subnet := range a.routes {
		if _, stays := wanted[subnet]; stays {
			continue
		}
		if err := command(ctx, nil, "ip", "route", "delete", subnet); err != nil {
			return err
		}
		log.Printf("%s is gone", subnet)
		delete(a.routes, subnet)
	}
	return nil
}

// admitPods writes the network's file, upon which the node becomes ready and pods start.
//
// It waits until Services answer: a connection to one that is made before kube-proxy's rules exist is remembered by
// the kernel without them, and hangs.
func (a *attachedNode) admitPods(ctx context.Context, subnet string) error {
	if err := waitFor(ctx, a.settings.service); err != nil {
		log.Print(err)
	}
	content, err := json.Marshal(pluginList(subnet))
	if err != nil {
		return err
	}
	// Renamed into place: containerd reads the file as soon as it is there.
	temporary := networkFile + ".tmp"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	if err := os.Rename(temporary, networkFile); err != nil {
		return err
	}
	log.Printf("pods of this node are in %s", subnet)
	a.ownSubnet = subnet
	return nil
}

func waitFor(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLimit)
	defer cancel()
	for ctx.Err() == nil {
		dialer := net.Dialer{Timeout: 300 * time.Millisecond}
		connection, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("the Service at %s did not answer within %s", address, serviceLimit)
}

// pluginList is the configuration of the network plugins: one pair of interfaces for each pod, and host ports.
func pluginList(subnet string) map[string]any {
	type object = map[string]any
	return object{
		"cniVersion": "0.3.1",
		"name":       "podnetwork",
		"plugins": []object{
			{
				"type":   "ptp",
				"ipMasq": false,
				"ipam": object{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"routes":  []object{{"dst": "0.0.0.0/0"}},
					"ranges":  [][]object{{{"subnet": subnet}}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}
}

// masquerade gives what leaves the pods' network the node's address, since nothing outside has a route back.
func masquerade(ctx context.Context, podSubnet string) error {
	rules := fmt.Sprintf(`table ip podnetwork {}
delete table ip podnetwork
table ip podnetwork {
	chain leaving {
		type nat hook postrouting priority srcnat
		ip saddr %[1]s ip daddr != %[1]s fib daddr type != local masquerade
	}
}
`, podSubnet)
	return command(ctx, strings.NewReader(rules), "nft", "-f", "-")
}
