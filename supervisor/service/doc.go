// Package service is a declared service as data: what is to run, what is known of it, and the steps from the one to the
// other. Parse reads a declaration; State is what has to survive of a service; Next says what to do now.
//
// It starts nothing and knows no clock: replicas come in as they are, steps go out, and package supervisor takes them.
// Start reading at Spec and at Next.
package service
