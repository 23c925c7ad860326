package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// The domain of the cluster's Services: SERVICE.NAMESPACE.svc.cluster.local.
const domain = ".svc.cluster.local."

// Answers the names of Services; no other name exists. Arguments: address, kubeconfig.
func serveNames() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[2])
	fail(err)
	client, err := kubernetes.NewForConfig(config)
	fail(err)
	socket, err := net.ListenPacket("udp", os.Args[1])
	fail(err)
	buffer := make([]byte, 4096)
	for {
		size, peer, err := socket.ReadFrom(buffer)
		fail(err)
		query := append([]byte(nil), buffer[:size]...)
		go func() {
			if reply := answer(client, query); reply != nil {
				_, _ = socket.WriteTo(reply, peer)
			}
		}()
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(client kubernetes.Interface, query []byte) []byte {
	var message dnsmessage.Message
	if message.Unpack(query) != nil || len(message.Questions) != 1 {
		return nil
	}
	question := message.Questions[0]
	message.Header = dnsmessage.Header{ID: message.ID, Response: true, Authoritative: true, RecursionDesired: message.RecursionDesired}
	message.Additionals = nil
	address, err := lookUp(client, question.Name.String())
	switch {
	case err != nil:
		message.RCode = dnsmessage.RCodeServerFailure
	case address == nil:
		message.RCode = dnsmessage.RCodeNameError
	case question.Type == dnsmessage.TypeA:
		header := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1}
		message.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: [4]byte(address)}}}
	}
	reply, err := message.Pack()
	if err != nil {
		return nil
	}
	return reply
}

// The address of a Service; nil without such a Service.
func lookUp(client kubernetes.Interface, name string) (net.IP, error) {
	within, isService := strings.CutSuffix(strings.ToLower(name), domain)
	service, namespace, isPair := strings.Cut(within, ".")
	if !isService || !isPair || strings.Contains(namespace, ".") {
		return nil, nil
	}
	context, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	found, err := client.CoreV1().Services(namespace).List(context, meta.ListOptions{FieldSelector: "metadata.name=" + service})
	if err != nil || len(found.Items) == 0 {
		return nil, err
	}
	return net.ParseIP(found.Items[0].Spec.ClusterIP).To4(), nil
}
