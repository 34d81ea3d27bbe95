package main

import (
	"maps"
	"testing"
)

func nodeWith(address string, subnets ...string) node {
	var n node
	n.Spec.PodCIDRs = subnets
	if address != "" {
		n.Status.Addresses = []struct{ Type, Address string }{{"Hostname", "name"}, {"InternalIP", address}}
	}
	return n
}

func TestRoutesLeadToEveryOtherNode(t *testing.T) {
	here := attachedNode{settings: settings{nodeAddress: "172.18.0.2"}}
	own, routes := here.plan([]node{
		nodeWith("172.18.0.2", "10.244.0.0/24"),
		nodeWith("172.18.0.3", "10.244.1.0/24"),
		// Not yet given a subnet, and not yet with an address.
		nodeWith("172.18.0.4"),
		nodeWith("", "10.244.3.0/24"),
	})
	if own != "10.244.0.0/24" {
		t.Errorf("own subnet: %q", own)
	}
	if want := map[string]string{"10.244.1.0/24": "172.18.0.3"}; !maps.Equal(routes, want) {
		t.Errorf("routes: %v", routes)
	}
}

func TestOnlyWhatChangesARouteIsNews(t *testing.T) {
	here := attachedNode{
		settings:  settings{nodeAddress: "172.18.0.2"},
		ownSubnet: "10.244.0.0/24",
		routes:    map[string]string{"10.244.1.0/24": "172.18.0.3"},
	}
	for name, test := range map[string]struct {
		node node
		news bool
	}{
		"this node's heartbeat":  {nodeWith("172.18.0.2", "10.244.0.0/24"), false},
		"another's heartbeat":    {nodeWith("172.18.0.3", "10.244.1.0/24"), false},
		"a node without subnet":  {nodeWith("172.18.0.4"), false},
		"a subnet for that node": {nodeWith("172.18.0.4", "10.244.2.0/24"), true},
		"another address":        {nodeWith("172.18.0.9", "10.244.1.0/24"), true},
		"another own subnet":     {nodeWith("172.18.0.2", "10.244.9.0/24"), true},
	} {
		if here.isNews(test.node) != test.news {
			t.Errorf("%s: news is not %v", name, test.news)
		}
	}
}
