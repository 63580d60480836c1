package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// moduleTree knows the modules of one kernel: its /lib/modules/RELEASE directory.
type moduleTree struct {
	dir     string
	deps    map[string][]string // path below dir → paths that must be loaded first
	byName  map[string]string   // module name → path below dir
	builtin map[string]bool     // module names that are part of the kernel image
}

// readModuleTree reads the indexes that depmod and the kernel build left in dir.
func readModuleTree(dir string) (*moduleTree, error) {
	deps, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	return parseModuleTree(dir, deps, builtin)
}

// parseModuleTree reads the contents of modules.dep (lines of "path: path …")
// and modules.builtin (lines of "path").
func parseModuleTree(dir string, deps, builtin []byte) (*moduleTree, error) {
	t := &moduleTree{
		dir:     dir,
		deps:    make(map[string][]string),
		byName:  make(map[string]string),
		builtin: make(map[string]bool),
	}
	for lines := bufio.NewScanner(bytes.NewReader(deps)); lines.Scan(); {
		path, needs, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			return nil, fmt.Errorf("%s/modules.dep: line %q has no colon", dir, lines.Text())
		}
		t.deps[path] = strings.Fields(needs)
		t.byName[moduleName(path)] = path
	}
	for _, path := range strings.Fields(string(builtin)) {
		t.builtin[moduleName(path)] = true
	}
	return t, nil
}

// loadOrder lists the files to load, below dir, so that the named modules are
// there: each file after the files it needs, and once. A module that is part of
// the kernel image needs none.
func (t *moduleTree) loadOrder(names ...string) ([]string, error) {
	var order []string
	var add func(path string)
	add = func(path string) {
		if slices.Contains(order, path) {
			return
		}
		for _, need := range t.deps[path] {
			add(need)
		}
		order = append(order, path)
	}
	for _, name := range names {
		if path, ok := t.byName[name]; ok {
			add(path)
		} else if !t.builtin[name] {
			return nil, fmt.Errorf("kernel %s has no module %s", filepath.Base(t.dir), name)
		}
	}
	return order, nil
}

// moduleName turns a path into a module name: file names may use dashes or
// underscores, names have underscores.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}
