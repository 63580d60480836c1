package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tandem/control"
	"tandem/director"
)

// statusTimeout is how long a running daemon may take to answer.
const statusTimeout = 5 * time.Second

func statusCommand(s *settings) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show roles, virtual IPs, services, servers and connection sync",
		Long: `Status asks the running tandem, through its control socket, and shows what is
wrong first. The weight of a server is the one in the kernel of the configured
one; "-" means that it is not in the kernel's table.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			socket, err := s.controlSocket()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), statusTimeout)
			defer cancel()
			snap, err := control.Status(ctx, socket)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(snap)
			}
			return renderStatus(cmd.OutOrStdout(), snap)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	return cmd
}

// controlSocket is the socket of the flag or, without one, of the configuration.
func (s *settings) controlSocket() (string, error) {
	if s.socket != "" {
		return s.socket, nil
	}
	cfg, err := s.load()
	if err != nil {
		return "", fmt.Errorf("where is the control socket? %w", err)
	}
	return cfg.ControlSocket, nil
}

// renderStatus writes a snapshot for people.
func renderStatus(out io.Writer, s director.Snapshot) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s of pair %s, tandem %s, up %s, configuration %s (%s)\n",
		s.Node, s.Pair, s.Version, age(s.At, s.Started), s.Config.Digest, s.Config.File)
	for _, p := range s.Problems {
		fmt.Fprintf(w, "PROBLEM: %s\n", p)
	}
	for _, c := range s.Conflicts {
		fmt.Fprintf(w, "CONFLICT: %s on %s is claimed by %s, %d times, last %s ago\n", c.Address, c.Interface, c.MAC, c.Count, age(s.At, c.Last))
	}
	for _, r := range s.Routers {
		renderRouter(w, s.At, r)
	}
	for _, svc := range s.Services {
		renderService(w, s.At, svc)
	}
	fmt.Fprintf(w, "\nconnection sync\t%s\n", syncInWords(s.Sync))
	if s.NoIPVS {
		fmt.Fprintf(w, "IPVS\tthe kernel has none, and the configuration needs none\n")
	}
	if s.Repairs != (director.RepairStatus{}) {
		fmt.Fprintf(w, "put back after others changed them\t%s\n", repairsInWords(s.Repairs))
	}
	if len(s.Drops) > 0 {
		fmt.Fprintf(w, "packets dropped\t%s\n", dropsInWords(s.Drops))
	}
	for _, h := range s.Hooks {
		fmt.Fprintf(w, "hook %s\t%s\n", h.Program, hookInWords(s.At, h))
	}
	if len(s.Foreign) > 0 {
		fmt.Fprintf(w, "services of others, left alone\t%s\n", strings.Join(s.Foreign, ", "))
	}
	return w.Flush()
}

func renderRouter(w io.Writer, at time.Time, r director.RouterStatus) {
	fmt.Fprintf(w, "\nvirtual router %s\t%s for %s\t%s\tvrid %d on %s\n",
		r.Name, strings.ToUpper(r.State), age(at, r.Since), priorityInWords(r), r.VRID, r.Interface)
	if r.Cause != "" {
		fmt.Fprintf(w, "  because\t%s\n", r.Cause)
	}
	if r.Fault != "" {
		fmt.Fprintf(w, "  FAULT\t%s\n", r.Fault)
	}
	if !r.Waits.IsZero() {
		fmt.Fprintf(w, "  waits\tstartup_delay, %s left\n", age(r.Waits, at))
	}
	if r.Group != "" {
		fmt.Fprintf(w, "  group\t%s\n", groupInWords(r))
	}
	if r.Peer != nil {
		fmt.Fprintf(w, "  active is\t%s, priority %d\n", r.Peer.Address, r.Peer.Priority)
	}
	if d := r.Device; d != nil {
		fmt.Fprintf(w, "  virtual MAC\t%s, interface %s on %s\n", d.MAC, d.Name, d.Parent)
	}
	if words := advertsInWords(r); words != "" {
		fmt.Fprintf(w, "  adverts\t%s\n", words)
	}
	for _, remark := range r.Remarks {
		fmt.Fprintf(w, "  note\t%s\n", remark)
	}
	for _, a := range r.Addresses {
		held := "not held"
		if a.Held {
			held = "held"
		}
		if a.Label != "" {
			held += ", label " + a.Label
		}
		if a.Denied {
			held += ", packets to it are dropped"
		}
		fmt.Fprintf(w, "  %s on %s\t%s\n", a.Address, a.Interface, held)
	}
	for _, f := range r.Routes {
		fmt.Fprintf(w, "  route %s\t%s\n", f.What, followInWords(f))
	}
	for _, f := range r.Rules {
		fmt.Fprintf(w, "  rule %s\t%s\n", f.What, followInWords(f))
	}
	for _, t := range r.Track {
		fmt.Fprintf(w, "  track %s\t%s\t%s\n", t.Thing, stateInWords(at, t), effectInWords(t))
	}
}

func followInWords(f director.FollowStatus) string {
	if f.InKernel {
		return "in the kernel"
	}
	return "not in the kernel"
}

// repairsInWords is what was put back; three kinds are always named, the others
// when there are any.
func repairsInWords(r director.RepairStatus) string {
	words := []string{count(r.Addresses, "virtual IP"), count(r.Table, "table change"), count(r.Sysctls, "sysctl")}
	for _, more := range []struct {
		n    int
		what string
	}{{r.Routes, "route"}, {r.Rules, "rule"}, {r.Firewall, "firewall table"}} {
		if more.n > 0 {
			words = append(words, count(more.n, more.what))
		}
	}
	return strings.Join(words, ", ")
}

// priorityInWords names the configured priority too, if weights changed it.
func priorityInWords(r director.RouterStatus) string {
	if r.Base == r.Priority || r.Base == 0 {
		return fmt.Sprintf("priority %d", r.Priority)
	}
	return fmt.Sprintf("priority %d, configured %d", r.Priority, r.Base)
}

func groupInWords(r director.RouterStatus) string {
	words := r.Group
	if r.GroupWeight != 0 {
		words += fmt.Sprintf(", weight %+d", r.GroupWeight)
	}
	if r.Ready {
		words += ", ready: waits for its other routers"
	}
	return words
}

func stateInWords(at time.Time, t director.TrackStatus) string {
	if t.Since.IsZero() {
		return t.State
	}
	return t.State + " " + age(at, t.Since)
}

// effectInWords is what a tracked thing does now, and why.
func effectInWords(t director.TrackStatus) string {
	words := "no effect"
	switch {
	case t.Fault:
		words = "fault"
	case t.Effect != 0:
		words = fmt.Sprintf("%+d", t.Effect)
	}
	if t.Reason != "" {
		words += " (" + t.Reason + ")"
	}
	return words
}

// advertsInWords is how a router's advertisements differ from the usual ones.
func advertsInWords(r director.RouterStatus) string {
	var words []string
	if r.IPv6 {
		words = append(words, "IPv6")
	}
	if r.Protocol == 2 {
		words = append(words, "version 2")
	}
	if r.Transport == "unicast" {
		words = append(words, "unicast")
	}
	if r.Auth.Mode != "off" {
		words = append(words, "authentication "+r.Auth.Mode)
		if r.Auth.Mode != "receive-only" {
			words = append(words, fmt.Sprintf("signed with key %d", r.Auth.ActiveKey))
		}
	}
	return strings.Join(words, ", ")
}

func renderService(w io.Writer, at time.Time, svc director.ServiceStatus) {
	missing := ""
	if !svc.InKernel {
		missing = "\tNOT IN THE KERNEL"
	}
	fmt.Fprintf(w, "\nservice %s\t%s %s\t%s\t%s%s\n", svc.Name, svc.Protocol, svc.Address, svc.Scheduler, svc.Forwarding, missing)
	fmt.Fprintf(w, "  server\tverdict\tweight\tactive\tinactive\twhy\n")
	for _, srv := range svc.Servers {
		weight := "-"
		if srv.InKernel {
			weight = fmt.Sprint(srv.Weight)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s of %d\t%d\t%d\t%s\n", srv.Address, verdictInWords(at, srv), weight, srv.Configured, srv.Active, srv.Inactive, whyInWords(srv))
	}
}

func dropsInWords(drops []director.DropStatus) string {
	var words []string
	for _, d := range drops {
		on := d.Interface
		if d.IPv6 {
			on += " (IPv6)"
		}
		words = append(words, fmt.Sprintf("%d %s on %s", d.Packets, d.Reason, on))
	}
	return strings.Join(words, ", ")
}

func hookInWords(at time.Time, h director.HookStatus) string {
	words := count(int(h.Runs), "run")
	if h.Failures > 0 {
		words += fmt.Sprintf(", %d failed", h.Failures)
	}
	if h.Timeouts > 0 {
		words += fmt.Sprintf(", %d of them after the timeout", h.Timeouts)
	}
	if h.Merged > 0 {
		words += fmt.Sprintf(", %d skipped for newer states", h.Merged)
	}
	if h.Running != "" {
		words += "; runs for " + h.Running
	}
	if h.Waiting > 0 {
		words += fmt.Sprintf("; %d wait", h.Waiting)
	}
	switch {
	case h.LastError != "":
		words += fmt.Sprintf("; FAILED for %s %s ago: %s", h.LastEvent, age(at, h.LastEnd), h.LastError)
	case h.LastEvent != "":
		words += fmt.Sprintf("; the last for %s %s ago", h.LastEvent, age(at, h.LastEnd))
	}
	return words
}

func verdictInWords(at time.Time, s director.ServerStatus) string {
	if s.Since.IsZero() {
		return s.Verdict
	}
	return s.Verdict + " " + age(at, s.Since)
}

func whyInWords(s director.ServerStatus) string {
	words := s.Why
	if s.Reason != "" && s.Reason != "ok" {
		words += " (" + s.Reason
		if s.Detail != "" {
			words += ": " + s.Detail
		}
		words += ")"
	}
	return words
}

func syncInWords(s director.SyncStatus) string {
	if s.Mode == "off" {
		return "off"
	}
	var doing []string
	if s.Master {
		doing = append(doing, "sending")
	}
	if s.Backup {
		doing = append(doing, "receiving")
	}
	if doing == nil {
		doing = []string{"idle"}
	}
	return fmt.Sprintf("%s, %s on %s, id %d", s.Mode, strings.Join(doing, " and "), s.Interface, s.ID)
}

// age is how long ago then was, rounded for people.
func age(at, then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	d := at.Sub(then)
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
