package proxy

// HeapFloor makes the garbage collector of a process that does nothing but proxy wait for at least 16 MiB of garbage.
// Such a process has a few megabytes in use, and would otherwise collect them dozens of times a second under load: that
// took a third of the processor time of a gRPC call. The floor itself is never written to, so that the kernel gives no
// memory for it; the collector merely counts it as in use. It lasts as long as the caller keeps it, and is to be made
// first of all:
//
//	defer runtime.KeepAlive(proxy.HeapFloor())
func HeapFloor() any { return make([]byte, 16<<20) }
