package track

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/program"
)

func scriptEye(t configs.Thing) eye {
	s := &script{args: t.Script.Args(), timeout: t.Timeout, rise: t.Rise, fall: t.Fall}
	return eye{every: t.Interval, see: s.see}
}

// script runs a program again and again, one run at a time.
type script struct {
	args       []string
	timeout    time.Duration
	rise, fall int

	running <-chan program.Outcome // the run that has not ended yet
	streak  streak
}

// see runs the script once and damps the result.
func (s *script) see(ctx context.Context) (director.ThingState, error) {
	o, err := s.run(ctx)
	if err != nil {
		return director.ThingState{}, err
	}
	well := s.streak.add(o.Well, s.rise, s.fall)
	if well != o.Well {
		o.Reason = strings.TrimSpace(fmt.Sprintf("%s (%d in a row)", o.Reason, s.streak.against))
	}
	return director.ThingState{Known: true, Well: well, Reason: o.Reason}, nil
}

// run starts the script and waits for its end, or at most until it should long
// have been killed. Then the next run is the one that does not end.
func (s *script) run(ctx context.Context) (program.Outcome, error) {
	if s.running == nil {
		s.running = program.Start(ctx, program.Run{Args: s.args, Timeout: s.timeout})
	}
	late := time.NewTimer(s.timeout + program.Grace)
	defer late.Stop()
	select {
	case o := <-s.running:
		s.running = nil
		return o, ctx.Err()
	case <-late.C:
		return program.Outcome{Reason: "was killed after its timeout and does not end"}, ctx.Err()
	}
}

// streak damps results: the first decides alone, after that it takes rise good
// ones in a row, or fall bad ones.
type streak struct {
	known, well bool
	against     int // results in a row that were not as well is
}

// add takes a result and returns what holds now.
func (s *streak) add(well bool, rise, fall int) bool {
	if !s.known {
		s.known, s.well = true, well
		return well
	}
	if well == s.well {
		s.against = 0
		return s.well
	}
	s.against++
	needed := fall
	if well {
		needed = rise
	}
	if s.against >= needed {
		s.well, s.against = well, 0
	}
	return s.well
}
