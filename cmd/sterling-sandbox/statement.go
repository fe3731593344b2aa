package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/importer/statement"
)

// statementCommand is what runs inside: `sterling watch import --sandbox` starts it in a sandbox.
func statementCommand() *cobra.Command {
	var mapping string
	cmd := &cobra.Command{
		Use: "read-statement FILE", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			file, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("read the statement: %w", err)
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			list, err := readStatement(file, mapping)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			return errors.Join(statement.Encode(out, list), out.Flush())
		},
	}
	cmd.Flags().StringVar(&mapping, "mapping", "", "what the columns of a CSV file mean")
	return cmd
}

func readStatement(file *os.File, mapping string) ([]statement.Statement, error) {
	if mapping == "" {
		return statement.ReadCamt(file)
	}
	text, err := os.ReadFile(mapping)
	if err != nil {
		return nil, fmt.Errorf("read the mapping: %w", err)
	}
	m, err := statement.ParseMapping(text)
	if err != nil {
		return nil, err
	}
	return statement.ReadCSV(file, m)
}
