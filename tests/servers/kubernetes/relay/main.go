// Command relay joins a port of this machine with one of the node, whose network namespace has no way out:
//
//	relay NETNS 127.0.0.1:27443 127.0.0.1:6443
package main

import (
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"syscall"
)

const setns = 308 // the number of the system call on amd64

// inside runs functions on a thread in the network namespace of a file.
func inside(namespace string) chan func() {
	functions := make(chan func())
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: no other goroutine gets the thread
		file, err := os.Open(namespace)
		if err == nil {
			if _, _, errno := syscall.RawSyscall(setns, file.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
				err = errno
			}
		}
		ready <- err
		for function := range functions {
			function()
		}
	}()
	if err := <-ready; err != nil {
		log.Fatal(err)
	}
	return functions
}

func main() {
	node := inside(os.Args[1])
	listener, err := net.Listen("tcp", os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	for {
		near, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go join(near, node, os.Args[3])
	}
}

func join(near net.Conn, node chan func(), address string) {
	defer near.Close()
	var far net.Conn
	var err error
	done := make(chan struct{})
	node <- func() { far, err = net.Dial("tcp", address); close(done) }
	<-done
	if err != nil {
		log.Print(err)
		return
	}
	defer far.Close()
	ended := make(chan struct{}, 2)
	carry := func(to, from net.Conn) {
		io.Copy(to, from)
		to.(*net.TCPConn).CloseWrite()
		ended <- struct{}{}
	}
	go carry(near, far)
	go carry(far, near)
	<-ended
	<-ended
}
