// Package control is the mesh's control plane: it signs the identities of workloads, hands them out, and brings the
// desired state of package mesh to the data planes by xDS (ADS with SDS in it), to one node first.
//
// It never sees a request of the mesh, and nothing that runs needs it to be there: data planes keep the configuration
// and the certificates that they have. What it can't attribute to an identity it refuses.
//
// Start reading at New, then Plane.Apply (rollout.go) and Plane.StreamAggregatedResources (ads.go).
package control
