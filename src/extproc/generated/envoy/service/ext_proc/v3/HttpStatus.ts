// Original file: protos/ext_proc.proto


export interface HttpStatus {
  'code'?: (number);
}

export interface HttpStatus__Output {
  'code'?: (number);
}
