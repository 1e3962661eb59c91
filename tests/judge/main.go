// Judges histories of the simulator with porcupine, a linearizability checker that has nothing in common with ours.
//
// Reads files of `ringdict sim replay --history`, one JSON object a line, and prints for each file whether
// each of its keys is linearizable. Exit status: 0 all are, 1 one is not, 2 no judgement.
// docs/simulation.md says how to run it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// A key that takes longer than this is not judged.
const timeout = 60 * time.Second

// A line of a history.
type line struct {
	Process int             `json:"process"`
	Type    string          `json:"type"`
	F       string          `json:"f"`
	Key     json.RawMessage `json:"key"`
	Value   interface{}     `json:"value"`
}

// What an operation asked for.
type call struct {
	f        string
	argument interface{}
}

// What it was told; unknown: nobody knows whether it happened.
type answer struct {
	unknown bool
	value   interface{}
}

// One register: read, write, and cas, whose argument is what it expects and what it writes.
var register = porcupine.Model{
	Init: func() interface{} { return nil },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		asked, told := input.(call), output.(answer)
		var result interface{}
		after := state
		switch asked.f {
		case "read":
			result = state
		case "write":
			after = asked.argument
		case "cas":
			pair := asked.argument.([]interface{})
			matches := reflect.DeepEqual(state, pair[0])
			if matches {
				after = pair[1]
			}
			result = matches
		default:
			fail("no operation of a register: %q", asked.f)
		}
		return told.unknown || reflect.DeepEqual(result, told.value), after
	},
	Equal: func(one, other interface{}) bool { return reflect.DeepEqual(one, other) },
}

func fail(format string, values ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(2)
}

// The events of each key. A call that failed did not happen, and is left out.
func read(name string) map[string][]porcupine.Event {
	file, err := os.Open(name)
	if err != nil {
		fail("%v", err)
	}
	defer file.Close()
	type pending struct {
		key  string
		at   int
		id   int
		line line
	}
	keys := map[string][]porcupine.Event{}
	open := map[int]pending{}
	dropped := map[int]bool{}
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 16<<20)
	for id := 0; scanner.Scan(); id++ {
		var here line
		if err := json.Unmarshal(scanner.Bytes(), &here); err != nil {
			fail("%s, line %d: %v", name, id+1, err)
		}
		key := string(here.Key)
		if here.Type == "invoke" {
			open[here.Process] = pending{key, len(keys[key]), id, here}
			keys[key] = append(keys[key], porcupine.Event{
				ClientId: here.Process, Kind: porcupine.CallEvent, Value: call{here.F, here.Value}, Id: id,
			})
			continue
		}
		begun, found := open[here.Process]
		if !found {
			fail("%s, line %d: a return without a call", name, id+1)
		}
		delete(open, here.Process)
		if here.Type == "fail" {
			dropped[begun.id] = true
			continue
		}
		keys[key] = append(keys[key], porcupine.Event{
			ClientId: here.Process, Kind: porcupine.ReturnEvent, Id: begun.id,
			Value: answer{here.Type == "info", here.Value},
		})
	}
	if err := scanner.Err(); err != nil {
		fail("%s: %v", name, err)
	}
	for _, begun := range open {
		dropped[begun.id] = true
	}
	for key, events := range keys {
		kept := events[:0]
		for _, event := range events {
			if !dropped[event.Id] {
				kept = append(kept, event)
			}
		}
		keys[key] = kept
	}
	return keys
}

func main() {
	if len(os.Args) < 2 {
		fail("usage: judge HISTORY.jsonl ...")
	}
	status := 0
	for _, name := range os.Args[1:] {
		keys := read(name)
		names := make([]string, 0, len(keys))
		for key := range keys {
			names = append(names, key)
		}
		sort.Strings(names)
		for _, key := range names {
			verdict := porcupine.CheckEventsTimeout(register, keys[key], timeout)
			fmt.Printf("%s\t%s\t%d events\t%s\n", name, key, len(keys[key]), verdict)
			if verdict == porcupine.Illegal && status == 0 {
				status = 1
			} else if verdict == porcupine.Unknown {
				status = 2
			}
		}
	}
	os.Exit(status)
}
